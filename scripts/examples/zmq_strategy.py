"""A strategy over ZeroMQ: a symbol's file up to its last candle, then each close as it is told.

python scripts/examples/zmq_strategy.py BASE_DIR/usdt_perp_1m ipc:///run/alphaqcm/um BTCUSDT
"""

import asyncio
import sys

from alphaqcm.data_collection.live.bus.subscriber import ZmqSubscriber
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.features.stream.factor import factor
from alphaqcm.pipeline.features.stream.window_state import WindowState
from bmac_kit import CandleFileReader


@factor(inputs=("close",), lookback=21)
def momentum(close):
    return close[-1] / close[0] - 1.0


async def main(folder: str, pub: str, symbol: str) -> None:
    topic = f"bar.1m.um.{symbol}"
    state = WindowState(WindowGrid.of("1m", "5m"), [momentum])
    async with ZmqSubscriber(pub, [topic]) as told:
        candles = CandleFileReader(folder, "parquet").read_candle(symbol)
        begins = candles["candle_begin_time"].astype("datetime64[us, UTC]").astype("int64")
        state.push_all(begins, candles)
        print("from the file up to", candles.index[-1], flush=True)
        as_of_us = candles.index[-1].value // 1000
        for messages in (told.replay(topic, as_of_us), told):
            async for message in messages:
                if message.lost:  # more than the publisher keeps: begin again from the file
                    await main(folder, pub, symbol)
                    return
                if row := state.push(message.event):
                    print(row.start_us, row.values, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
