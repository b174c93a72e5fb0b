"""Publishing: from a record to an acknowledged message, its receipt, and the evidence of its writer."""
