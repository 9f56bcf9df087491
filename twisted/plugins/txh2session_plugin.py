from twisted.application.service import ServiceMaker

h2session = ServiceMaker("txh2session", "txh2session.tap", "Serve HTTP/2: a demonstration, or a web site.", "h2session")
