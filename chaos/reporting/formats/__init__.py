"""Reports for other programs: JUnit's XML, Allure's results, the step summary of GitHub Actions."""
