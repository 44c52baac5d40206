"""Steps, each with a key. Pure: nothing is started and nothing is written."""
