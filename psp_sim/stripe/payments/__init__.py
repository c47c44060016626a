"""What calls do: payment intents with their charges, refunds and disputes, to the cent."""
