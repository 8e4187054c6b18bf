"""The gate: checks on a candidate before readers may see it, and the notices that people get."""
