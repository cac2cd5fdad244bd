"""The settings.yaml that fits generated customers: for the demo, the tests and the benchmarks."""

from __future__ import annotations

from typing import Literal

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
_KKBOX = """\
# Members of a music service, generated. See docs/settings.md for every setting.
target: is_churn
positive: 1
id: msno
date: date
snapshot: date  # a label's own date is the moment of prediction
columns:
  msno: text
  date: date
  is_churn: {type: integer, allowed: [0, 1]}
labels: "labels*.csv"
sources:
  members:
    files: "members*.csv"
    key: msno
    columns:
      msno: text
      city: text
      bd: integer
      gender: text
      registered_via: text
      registration_init_time: date
  transactions:
    files: "transactions*.csv"
    key: msno
    time: transaction_date
    columns:
      msno: text
      payment_method_id: text
      payment_plan_days: integer
      plan_list_price: integer
      actual_amount_paid: integer
      is_auto_renew: integer
      transaction_date: date
      membership_expire_date: date
      is_cancel: integer
    features:
      "*": [count, days_since_last]
      plan_list_price: [sum]
      actual_amount_paid: [sum, mean, last]
      is_auto_renew: [last, mean]
      is_cancel: [sum]
      payment_method_id: [last]
    windows: [30d, all]
  logs:
    files: "user_logs*.csv"
    key: msno
    time: date
    columns:
      msno: text
      date: date
      num_25: integer
      num_50: integer
      num_75: integer
      num_985: integer
      num_100: integer
      num_unq: integer
      total_secs: number
    features:
      "*": [count, days_since_last]
      total_secs: [sum, mean, std, trend]
      num_100: [sum]
      num_unq: [sum, max]
    windows: [7d, 30d, all]
"""
_SETTINGS = {Like.TELCO: _TELCO, Like.ATTRITION: _ATTRITION, "kkbox": _KKBOX}


def settings_for(like: Like | Literal["kkbox"]) -> str:
    """Return the text of a settings.yaml; further settings may be appended."""
    return _SETTINGS[like]
