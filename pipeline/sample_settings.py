"""The settings.yaml that fits generated customers: for the demo, the tests and the benchmarks."""

from __future__ import annotations

from churnwatch.pipeline.sample import Like

_TELCO = """\
# Customers of a telephone company, generated. See docs/settings.md for every setting.
target: Churn
positive: "Yes"
id: customerID
date: month
columns:
  customerID: text
  month: date
  gender: text
  SeniorCitizen: integer
  Partner: text
  Dependents: text
  tenure: {type: integer, min: 0}
  PhoneService: text
  InternetService: text
  OnlineSecurity: text
  TechSupport: text
  StreamingTV: text
  Contract: text
  PaperlessBilling: text
  PaymentMethod: text
  MonthlyCharges: number
  TotalCharges: number
  Churn: {type: text, allowed: ["Yes", "No"]}
"""
_ATTRITION = """\
# Corporate clients, generated. See docs/settings.md for every setting.
target: exited
positive: "1"
id: corporation
columns:
  corporation: text
  lastmonth_activity: integer
  lastyear_activity: integer
  number_of_employees: integer
  exited: {type: integer, allowed: [0, 1]}
"""


def settings_for(like: Like) -> str:
    """Return the text of a settings.yaml; further settings may be appended."""
    return _TELCO if like == Like.TELCO else _ATTRITION
