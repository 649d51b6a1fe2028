-- Migration 0003, part 3: the view shows both parts. Last, because readers wait from here on.
SELECT hangtag_data.show_generation(
    coalesce((SELECT m.generation FROM hangtag_data.model_versions AS m WHERE m.active), 0));
