"""Where the payment service meets Postgres and Stripe."""
