from ryla_client._cli import main

raise SystemExit(main())
