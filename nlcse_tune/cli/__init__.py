"""The command line: parse, call one function, print. Nothing in here decides."""
