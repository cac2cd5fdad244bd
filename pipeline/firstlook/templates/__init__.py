"""The texts around what the pipeline writes: settings.yaml and the page of `churnwatch explore`."""
