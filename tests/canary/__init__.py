"""An app whose importer quotes a row in every error that it can raise.

CANARY stands for the personal data of a row.
"""

CANARY = "canary7313"
