"""One file a command, holding its own options and handler."""
