"""The grooves world: pieces of music and sound effects with the whole truth about them (`docs/grooves.md`)."""
