"""What tests stand on: real stores, services without a broker, and conditions that are waited for."""
