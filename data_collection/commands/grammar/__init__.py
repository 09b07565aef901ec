"""How words of a command line are read: parser, values of options, where defaults come from."""
