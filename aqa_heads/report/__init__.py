"""How the report is made; its sections are in `sections`."""
