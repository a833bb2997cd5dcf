module millrace/tools

go 1.26
