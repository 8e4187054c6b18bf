"""Read Dataverse and Microsoft Graph into the append-only raw log."""
