"""How a chat is put into requests, and what a service answers, without the network."""
