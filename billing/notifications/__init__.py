"""What customers are told about their spending, by mail and by signed webhooks."""
