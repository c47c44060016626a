"""How the ledger is spoken to: gRPC and events."""
