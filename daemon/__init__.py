"""The daemon and its command line: watch, settle, work, report state."""
