UPDATE deliveries SET facts = (facts - 'amount_minor' - 'tax_minor')
    || jsonb_build_object('amount', facts -> 'amount_minor', 'tax_amount', facts -> 'tax_minor')
WHERE facts ? 'amount_minor';
