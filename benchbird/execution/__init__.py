"""Ways to run trials apart from the process that plans them."""
