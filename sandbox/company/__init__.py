"""A seeded fictitious company, written as a tenant folder that the sandbox serves."""

from sandbox.company.generate import generate

__all__ = ["generate"]
