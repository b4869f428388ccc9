"""Who answers: the only room that knows HTTP, processes and the keyring."""
