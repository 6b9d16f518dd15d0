"""An engine with every facet and no server: guests of tests answer for it."""
