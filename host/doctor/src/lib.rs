//! What is wrong between this machine and a provider, found out step by step.
