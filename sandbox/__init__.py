"""A tenant in a box: Dataverse and Microsoft Graph over real HTTP, served from a folder, with the faults of the real APIs."""
