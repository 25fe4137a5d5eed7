"""The commands: flags to options, results to text and exit codes; one file a command."""
