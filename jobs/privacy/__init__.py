"""What the pipeline owes to people: opting out."""
