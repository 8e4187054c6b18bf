-- S6, S7: the figures of a similar deal as the KPIs have them at an instant.
{{ kpi_measures(ref('int_similar_subject')) }}
