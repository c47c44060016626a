"""The real system under load while its parts are killed, scaled and restarted: `florin storm`."""
