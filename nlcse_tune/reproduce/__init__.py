"""Tables and figures of the paper, from records: what makes a row, what it would cost, how it compares, the page."""
