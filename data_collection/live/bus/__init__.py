"""The live client's events for other processes, over ZeroMQ: told once, and again on request.

    PUB/SUB   frames [topic, sequence (u64, big-endian), msgpack]
    REQ/REP   snapshot(topic, from): what is kept of a topic from a sequence on
              heads(prefix): the last sequence of each topic

A publisher drops what a slow subscriber does not take, silently. So each topic counts its messages,
and a subscriber that misses a number asks for it. Numbers begin with the publisher's start: they
rise over restarts, and those of two runs do not touch.
"""
