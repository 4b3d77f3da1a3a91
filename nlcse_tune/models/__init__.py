"""The encoder, its poolers, its sides and the losses. Nothing here knows a data set."""
