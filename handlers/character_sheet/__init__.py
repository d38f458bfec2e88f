"""Character sheets: what one is (input, views, prompts, plan), and what is said of it afterwards
(verdict, contact sheet). Nothing in here makes a picture."""
