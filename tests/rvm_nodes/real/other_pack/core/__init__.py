"""The `core` of the other pack."""

OWNER = "AAA-OtherPack"
