"""A first look at a sample: what it holds (`explore`), and the settings that fit it (`infer`)."""
