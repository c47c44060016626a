"""Where the payment service meets Postgres and its PSPs."""
