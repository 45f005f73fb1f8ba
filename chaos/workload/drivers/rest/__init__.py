"""The driver `rest`: a JSON service that is described in the YAML file."""
