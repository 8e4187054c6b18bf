"""The gate: checks on a candidate before readers may see it."""
