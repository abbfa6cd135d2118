"""Who: users, organizations, members, API keys – and the tenancy rules that everything above relies on."""
