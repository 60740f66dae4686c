"""From a configuration to fitted parameters: learning rules, steps, schedules, memory and run directories.

`learners` has the learning rules. `fit` knows the contracts of `connfit.training.learners.learner` and
`connfit.models.base` only.
"""
