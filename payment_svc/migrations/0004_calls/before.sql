UPDATE attempts SET look_ups = 5 WHERE payment_id = 'pay_declined';
