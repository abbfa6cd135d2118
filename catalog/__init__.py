"""What is sold, at what price, since when: models, cost prices, markups, exchange rates, applied rates."""
