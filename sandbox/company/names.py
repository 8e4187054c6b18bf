"""Words that the fictitious company is made of: people, firms, industries, subjects."""

FIRST_NAMES = (  # noqa: SIM905
    "Ada Agnes Albert Amelie Anton Arthur Astrid Benno Bianca Birgit Carla Carsten Celeste Clara Conrad Dagmar David Delia Dora "
    "Edgar Elena Elias Emil Erika Esther Fabian Felix Fiona Florian Frieda Georg Greta Hanna Hector Helene Henrik Hugo Ida Ines "
    "Irene Isaac Jakob Jana Jasper Johanna Jonas Judith Julian Karin Kaspar Klara Konrad Lars Laura Leon Lena Linus Livia Lorenz "
    "Louise Lukas Magda Marcel Marta Matilda Max Mira Moritz Nadia Nils Nora Olga Oliver Oscar Paula Pavel Petra Philip Quentin "
    "Rahel Ralf Regina Robin Rosa Samuel Sara Sebastian Silvia Simon Sofia Stefan Sven Tamara Theo Thomas Tilda Tobias Ulla "
    "Ursula Valentin Vera Victor Viola Walter Wanda Xenia Yann Yvonne Zoe"
).split()

LAST_NAMES = (  # noqa: SIM905
    "Abendroth Ahlberg Albers Anders Arnold Bachmann Bader Barlow Becker Bellamy Berger Blum Bohm Brandt Brook Calder Carlsen "
    "Castell Clement Cramer Dahl Danner Delacourt Dietz Dorn Eckart Ehlers Engel Falk Faber Feldt Fenwick Finch Forster Frey "
    "Gabler Garner Gerlach Giese Graf Grunwald Haas Hale Hartmann Heller Henning Hoffer Holm Horn Ibsen Jansen Jordan Kaiser "
    "Keller Kern Kessler Kirsch Klein Koller Krause Kruger Lange Larkin Lehner Lindner Lorenz Lund Maier Marlow Mertens Moser "
    "Neumann Nolte Novak Oberg Olsen Osborn Pabst Paulsen Peters Pohl Prior Quandt Raabe Reimer Richter Rohde Roth Ruud Sander "
    "Sauer Schilling Seidel Selby Sommer Stark Steiner Storm Tanner Thorne Ullrich Vogel Voss Wagner Walden Weber Wendt Winter "
    "Wolff Zander Zeller Ziegler"
).split()

FIRM_FIRST = (  # noqa: SIM905
    "Alder Amber Ansel Arden Aspen Aurora Beacon Birken Blauwald Boreal Brenner Bridge Calmar Cedar Cobalt Condor Corvus Delta "
    "Dorado Drift Eagle Eisen Elbe Ember Falken Fjord Flint Forge Gletscher Granit Halcyon Hanse Harbor Hazel Helix Heron Ilmen "
    "Indigo Iris Juniper Kestrel Kiesel Kobold Lantern Larch Linden Lumen Magnus Maple Meridian Mistral Morgen Nadir Nebel Norden "
    "Oaken Onyx Orion Osprey Pilot Pinnacle Polar Quarz Raven Ridge Riverton Saffron Silber Solstice Sonder Spruce Sterling Summit "
    "Talbot Tessel Tidal Titan Torrent Umbra Vantage Velden Vesper Vista Waldhof Willow Windward Yarrow Zenith Zephyr"
).split()

FIRM_SECOND = (  # noqa: SIM905
    "Automation Bakery Castings Clinics Dairies Drives Energy Foods Freight Gears Grid Insurance Labs Logistics Mills "
    "Motors Optics Packaging Pumps Robotics Seeds Shipping Steel Systems Tools Transport Turbines Utilities Valves Works"
).split()

INDUSTRIES = {
    12: "Durable Manufacturing",
    17: "Food and Tobacco Processing",
    31: "Utility Creation and Distribution",
    16: "Financial",
    20: "Insurance",
    30: "Transportation",
    11: "Doctor's Offices and Clinics",
    6: "Business Services",
}
LEAD_SOURCES = {1: "Advertisement", 2: "Employee Referral", 3: "External Referral", 4: "Partner", 7: "Trade Show", 8: "Web"}
COUNTRIES = ("Germany", "Austria", "Switzerland", "United Kingdom", "Netherlands", "United States", "Sweden")
JOB_TITLES = (
    "Head of Purchasing", "Plant Manager", "Chief Financial Officer", "Managing Director", "Maintenance Lead", "Quality Engineer",
    "Project Manager", "Operations Director", "Buyer", "Head of IT",
)  # fmt: skip
FREE_MAIL = ("gmail.com", "gmx.net", "web.de", "outlook.com")

PRODUCTS = (
    "flow sensors",
    "a metering line",
    "inspection cameras",
    "leak detectors",
    "a test bench",
    "pressure gauges",
    "a retrofit",
    "a service contract",
)
DEAL_SUBJECTS = (
    "Offer for {what}", "{what}: next steps", "Questions on the offer for {what}", "Delivery dates for {what}", "Site visit, {what}",
    "Revised terms, {what}", "Technical details of {what}", "Budget for {what}",
)  # fmt: skip
ACCOUNT_SUBJECTS = (
    "Invoice question", "Spare parts", "Annual review", "Change of address", "Training dates", "Calibration report", "Support case",
    "Thank you for your visit", "Trade fair in spring", "Maintenance window",
)  # fmt: skip
INTERNAL_SUBJECTS = (
    "Forecast for this month", "Minutes of the sales meeting", "Travel costs", "Price list", "Holiday plan", "Handover of accounts",
    "Canteen", "Who has the demo unit?", "New template", "Quarterly figures", "Release notes", "Printer on the second floor",
)  # fmt: skip
COLD_SUBJECTS = (
    "Quick question",
    "Application as sales engineer",
    "Partnership",
    "Your profile",
    "Office supplies",
    "Translation services",
)
JUNK_SUBJECTS = ("You have won", "Your parcel is waiting", "Last reminder", "Exclusive investment")
PREVIEWS = (
    "Hello, thank you for the talk this morning. As agreed", "Please find the figures attached.", "Just a short note on",
    "Could you tell us when", "Many thanks, that helps a lot.", "I have spoken with our colleagues and", "Good morning, a quick question:",
    "We would like to come back to your message of last week.", "Sorry for the late answer,", "Attached is the signed version.",
)  # fmt: skip
MEETING_SUBJECTS = (
    "Kick-off {what}",
    "Review of the offer: {what}",
    "Demo of {what}",
    "Call about {what}",
    "Workshop {what}",
    "Contract talk: {what}",
)
INTERNAL_MEETINGS = ("Deal review", "Pipeline", "Onboarding", "Product update", "One to one", "Planning", "Retrospective")
PRIVATE_MEETINGS = ("Doctor", "School", "Private", "Car service")
CALL_SUBJECTS = ("Call about the offer", "Follow-up call", "Introduction", "Callback", "Delivery question")
TASK_SUBJECTS = (
    "Prepare the offer",
    "Send the data sheet",
    "Check credit line",
    "Update the forecast",
    "Write the visit report",
    "Book the demo unit",
)

NEWSLETTERS = (
    ("Flow Weekly", "news@flow-weekly.example"), ("Trade Fair Updates", "updates@fair-hanse.example"), ("Sensor Journal", "letter@sensor-journal.example"),
    ("Cloud Digest", "digest@cloud-digest.example"), ("Economy Today", "today@economy-today.example"), ("Webinar Club", "hello@webinar-club.example"),
    ("Rail and Road", "news@rail-road.example"), ("Standards Committee", "info@standards-committee.example"),
)  # fmt: skip
NOTIFIERS = (
    ("Ticket System", "no-reply@tickets.example"), ("Travel Portal", "noreply@travel-portal.example"), ("Time Sheets", "donotreply@timesheets.example"),
    ("Parcel Tracking", "tracking@parcel-post.example"), ("File Share", "notify@file-share.example"),
)  # fmt: skip

SALES_ROLES = ("Sales Professional", "Account Manager", "Technical Sales")
STAKEHOLDER_ROLES = ("Decision Maker", "Economic Buyer", "Influencer", "Champion", "Technical Buyer", "End User")
