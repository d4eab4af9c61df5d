"""nbgrader's settings for a class; ``build.py … --assignment --out CLASS`` copies them there."""

import os

# Feedback is a page: what is shown in it stands still, and no progress of the teacher's is kept.
os.environ["LABKIT_STATIC"] = "1"

c = get_config()  # type: ignore[name-defined]  # noqa: F821
c.CourseDirectory.course_id = "open-llm-family-lab"

# nbgrader's own stub raises an error and stops the notebook there. This one leaves the question
# open, inside a function too.
c.ClearSolutions.code_stub = {"python": "# your code here / 在这里写代码\n..."}

# Seconds a cell may take: the slowest takes up to 90 on two cores; a server is shared.
c.Execute.timeout = 600
c.Execute.interrupt_on_timeout = True
