-- Migration 0004, part 2: who may do what with the new.

REVOKE EXECUTE ON FUNCTION hangtag_data.give_up_preview FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hangtag_data.give_up_preview TO hangtag_worker;
GRANT UPDATE (preview_due, preview_tries) ON hangtag_data.review_items TO hangtag_worker;
